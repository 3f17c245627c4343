"""aliyun-python-sdk-r-kvstore: signature version 1, everything in the query of a POST."""

import importlib
import json

from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient

import story


class Client:
    name = "aliyun-python-sdk-r-kvstore"

    def __init__(self, secret):
        self.client = AcsClient(story.KEY_ID, secret, story.REGION, timeout=30, connect_timeout=5)

    def call(self, action, params):
        module = importlib.import_module(f"aliyunsdkr_kvstore.request.v20150101.{action}Request")
        request = getattr(module, f"{action}Request")()
        request.set_endpoint(story.ENDPOINT)
        request.set_protocol_type("http")
        for name, value in params.items():
            if name != "RegionId":  # the client itself sends it
                getattr(request, f"set_{name}")(value)
        try:
            return json.loads(self.client.do_action_with_exception(request))
        except ServerException as problem:
            raise story.ApiError(problem.get_http_status(), problem.get_error_code(),
                                 problem.get_error_msg()) from problem


if __name__ == "__main__":
    # This SDK compares the server's string to sign with its own, and when they are
    # equal it blames the secret: the code is proof that both are the same text.
    story.tell(Client(story.KEY_SECRET), Client("wrong"), "InvalidAccessKeySecret")
