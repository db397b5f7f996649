from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from podferry import Client
from tasks.errors import InsecureSettingError
from workers.secure import require_secure
from workers.settings import Settings
from workers.worker import run_worker

SECURE = {
    "environment": "production",
    "redis_url": "rediss://client:s3cret@hub:6379/0",
    "store_url": "s3+https://minio:9000/podferry",
}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("redis_url", "redis://client:s3cret@hub/0"),
        ("redis_url", "rediss://hub/0"),
        ("redis_url", "redis://127.0.0.1/0"),
        ("redis_url", "rediss://client:s3cret@hub/0?ssl_cert_reqs=none"),
        ("store_url", "s3+http://minio:9000/podferry"),
        ("encryption", "off"),
        ("log_level", "debug"),
    ],
)
def test_what_lets_others_in_is_refused_by_name_but_in_dev(setting: str, value: str) -> None:
    settings = Settings.model_validate(SECURE | {setting: value})
    with pytest.raises(InsecureSettingError, match=f"PODFERRY_{setting.upper()} .*; ") as refused:
        require_secure(settings)
    assert refused.value.setting == setting
    assert "s3cret" not in str(refused.value)
    assert "PODFERRY_ENVIRONMENT=dev" in str(refused.value)
    for begin in (lambda: Client(settings), lambda: run_worker(settings, control=True)):
        with pytest.raises(InsecureSettingError):
            begin()
    require_secure(settings.model_copy(update={"environment": "dev"}))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("redis_url", "unix:///run/redis.sock"), ("redis_url", "redis://:s3cret@localhost/0")),
        *(("redis_url", "redis://:s3cret@[::1]/0"), ("store_url", "s3://podferry")),
        *(("store_url", "file:///srv"), ("store_url", "s3+http://127.0.0.1:9000/podferry")),
    ],
)
def test_what_stays_here_or_is_encrypted_is_not(setting: str, value: str) -> None:
    require_secure(Settings.model_validate(SECURE | {setting: value}))


def test_production_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODFERRY_ENVIRONMENT")
    assert Settings().environment == "production"
    with pytest.raises(ValidationError, match="environment"):
        Settings.model_validate({"environment": "staging"})


def test_the_authority_of_redis_goes_with_its_url() -> None:
    ca = Path("/etc/podferry/ca.pem")
    settings = Settings.model_validate(SECURE | {"redis_ca_file": ca})
    assert settings.redis_url == f"{SECURE['redis_url']}?ssl_ca_certs=%2Fetc%2Fpodferry%2Fca.pem"
    assert Settings.model_validate(settings.model_dump()) == settings
    require_secure(settings)
