"""alibabacloud_r_kvstore20150101: ACS3-HMAC-SHA256, or version 1 with `v1` as argument."""

import re
import sys

from alibabacloud_r_kvstore20150101 import models
from alibabacloud_r_kvstore20150101.client import Client as KvStore
from alibabacloud_tea_openapi.models import Config
from darabonba.exceptions import DaraException

import story


class Client:
    def __init__(self, secret, signature):
        self.name = f"alibabacloud_r_kvstore20150101 ({signature})"
        config = Config(
            access_key_id=story.KEY_ID,
            access_key_secret=secret,
            endpoint=story.ENDPOINT,
            region_id=story.REGION,
            protocol="http",
            connect_timeout=5000,
            read_timeout=30000,
        )
        if signature == "v1":
            config.signature_algorithm = "v2"  # what the SDK calls signature version 1
        self.client = KvStore(config)

    def call(self, action, params):
        request = getattr(models, f"{action}Request")().from_map(params)
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()
        try:
            return getattr(self.client, method)(request).body.to_map()
        except DaraException as problem:
            status = (problem.data or {}).get("statusCode")
            raise story.ApiError(status, problem.code, problem.message) from problem


if __name__ == "__main__":
    SIGNATURE = sys.argv[1] if len(sys.argv) > 1 else "v3"
    story.tell(
        Client(story.KEY_SECRET, SIGNATURE),
        Client("wrong", SIGNATURE),
        "SignatureDoesNotMatch",
    )
