"""The plain S3 copy of the hand-written script: boto3's own, with its defaults, as a process.

usage: s3_copy.py put FILE KEY | get KEY FILE | clear

``clear`` deletes every object but the images. The store is the one that the environment names.
"""

from __future__ import annotations

import os
import sys

import boto3


def main(words: list[str]) -> None:
    """Do what the command line says."""
    endpoint, _, bucket = os.environ["PODFERRY_STORE_URL"].removeprefix("s3+").rpartition("/")
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=os.environ["PODFERRY_STORE_ACCESS_KEY"],
        aws_secret_access_key=os.environ["PODFERRY_STORE_SECRET_KEY"],
    )
    match words:
        case ["put", file, key]:
            client.upload_file(file, bucket, key)
        case ["get", key, file]:
            client.download_file(bucket, key, file)
        case ["clear"]:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for entry in page.get("Contents", []):
                    if not entry["Key"].startswith("images/"):
                        client.delete_object(Bucket=bucket, Key=entry["Key"])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
