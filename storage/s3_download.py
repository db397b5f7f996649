"""The content of large objects, at less than half of what boto3's get_object costs."""

from typing import TYPE_CHECKING, TypeAlias, TypedDict

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import Shape
from botocore.parsers import RestXMLParser
from botocore.response import StreamingBody

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Content: TypeAlias = tuple[StreamingBody, int]
"""An object's content, and its size in bytes: 0 when the answer does not tell."""

_NO_SHAPE = Shape("Error", {"type": "structure"})  # S3's errors have a form of their own
# As far as S3 lets a request's time be off, in either direction.
_VALID_SECONDS = 900


class Place(TypedDict):
    """What names an object in boto3's calls."""

    Bucket: str
    Key: str


def download(client: "S3Client", place: Place) -> Content:
    """Ask for an object.

    For get_object boto3 takes 2 ms of processor time, and no other thread runs meanwhile that has
    received something. Of its work only this is needed: to sign, to send, to read an error. The
    client's own session has the same connections, certificates, proxies and time limits; but unless
    the client has been used before, it does not know yet that AWS has the bucket in another region.
    Raises what get_object raises, with no word of the signature.
    """
    url = client.generate_presigned_url("get_object", Params=place, ExpiresIn=_VALID_SECONDS)
    request = AWSRequest("GET", url, stream_output=True).prepare()
    try:
        answer = client._endpoint.http_session.send(request)  # type: ignore[attr-defined] # unnamed
    except BotoCoreError as error:
        unsigned = {**error.kwargs, "endpoint_url": url.partition("?")[0]}
        raise type(error)(**unsigned) from None
    if answer.status_code >= 301:
        told = {"status_code": answer.status_code, "headers": answer.headers}
        refusal = RestXMLParser().parse({**told, "body": answer.content}, _NO_SHAPE)
        raise ClientError(refusal, "GetObject")
    size = int(answer.headers.get("Content-Length", 0))
    # with a length of None it is not compared, which botocore's stubs do not know
    return StreamingBody(answer.raw, size or None), size  # type: ignore[arg-type]
