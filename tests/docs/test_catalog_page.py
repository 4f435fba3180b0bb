"""The example of a catalog of one's own does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from alibroker.brokers.catalog import Catalog
from alibroker.brokers.loading import load_brokers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "catalog.md"
SETTINGS = {
    "ALIBROKER_REGION": "cn-hangzhou",
    "ALIBROKER_CLOUD_ENDPOINT": "http://127.0.0.1:9",
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "id",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret",
}


def test_the_example_is_accepted_and_takes_effect(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(example, encoding="utf-8")
    plugins = load_brokers(SETTINGS | {"ALIBROKER_CATALOG": str(path)}).plugins
    services = {
        one["name"]: one for one in msgspec.json.decode(Catalog(plugins).document)["services"]
    }
    for plugin in plugins:
        plugin.broker.close()
    assert "alibaba-cloud-oss" not in services
    mysql = services["alibaba-cloud-rds-mysqldb"]
    plans = {plan["name"]: plan for plan in mysql["plans"]}
    assert "rds-mysql-s2-large" not in plans
    assert plans["rds-mysql-t1-small"]["metadata"]["costs"][0]["amount"] == {"eur": 31.0}
    assert plans["rds-mysql-team"]["id"] == "7c3f6f0e-5a5e-4e0f-9a53-5d1c0f0b8a11"
    schemas = plans["rds-self-define"]["schemas"]["service_instance"]
    assert schemas["create"]["parameters"]["properties"]["Storage"]["maximum"] == 200
