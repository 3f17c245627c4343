"""What every Python SDK must be able to do: one story, told through any of them.

A client is an object with `name` and `call(action, params) -> dict`, which raises
`ApiError` when the API answered with an error. The environment says where the
API is and who calls it.
"""

import os
import secrets
import sys
import time
import urllib.request

import bmemcached
import redis

REGION = os.environ["REGION"]
ENDPOINT = os.environ["OURKV_ENDPOINT"]
KEY_ID = os.environ["ALIBABA_CLOUD_ACCESS_KEY_ID"]
KEY_SECRET = os.environ["ALIBABA_CLOUD_ACCESS_KEY_SECRET"]

# Every special character that the CreateInstance page allows, all of which are
# escaped differently by one SDK or another.
PASSWORD = "Aa1!@#$%^&*()_+-="
NAME = "sdk-测试"
DEADLINE_SECONDS = 60


class ApiError(Exception):
    """The API's answer was an error."""

    def __init__(self, status, code, message):
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


def tell(client, with_wrong_secret, wrong_secret_code):
    """Runs the whole story; leaves no instance behind."""
    try:
        redis_story(client)
        memcached_story(client)
        expect_error(wrong_secret_code, 400, with_wrong_secret, "DescribeRegions", {})
    except Exception as problem:
        print(f"FAILED {client.name}: {type(problem).__name__}: {problem}", file=sys.stderr)
        raise
    print(f"ok {client.name}")


def redis_story(client):
    regions = client.call("DescribeRegions", {})["RegionIds"]["KVStoreRegion"]
    check(REGION in [region["RegionId"] for region in regions], f"{REGION} is listed: {regions}")

    expect_error("InvalidCapacity.NotFound", 400, client, "CreateInstance", {
        "RegionId": REGION,
        "Capacity": 123,
    })

    wish = {
        "RegionId": REGION,
        "InstanceClass": "redis.master.small.default",
        "InstanceName": NAME,
        "Password": PASSWORD,
        "ChargeType": "PostPaid",
        "Token": secrets.token_hex(16),
    }
    created = create(client, wish)
    instance_id = created["InstanceId"]
    try:
        equal(created["Port"], 6379, "Port")
        equal(client.call("CreateInstance", wish)["InstanceId"], instance_id, "the same Token")
        expect_error("IdempotentParameterMismatch", 400, client, "CreateInstance",
                     {**wish, "InstanceName": "another"})

        attribute = wait_until_normal(client, instance_id)
        equal(attribute["InstanceName"], NAME, "InstanceName")
        equal(attribute["PrivateIp"], created["PrivateIpAddr"], "PrivateIp")
        equal(attribute["ConnectionDomain"], created["ConnectionDomain"], "ConnectionDomain")
        check_listed(client, instance_id)
        use_redis(attribute["PrivateIp"], created["Port"])
        whitelist_story(client, instance_id)
        backup_story(client, instance_id, attribute["PrivateIp"], created["Port"])
    finally:
        client.call("DeleteInstance", {"InstanceId": instance_id})
    wait_until_gone(client, instance_id)


def memcached_story(client):
    created = create(client, {
        "RegionId": REGION,
        "InstanceType": "Memcache",
        "InstanceClass": "memcache.master.small.default",
        "Password": PASSWORD,
    })
    instance_id = created["InstanceId"]
    try:
        equal(created["Port"], 11211, "Port")
        attribute = wait_until_normal(client, instance_id)
        use_memcached(attribute["PrivateIp"], created["Port"], instance_id)
    finally:
        client.call("DeleteInstance", {"InstanceId": instance_id})
    wait_until_gone(client, instance_id)


def whitelist_story(client, instance_id):
    own = {"SecurityIpGroupName": "own", "SecurityIps": "10.0.0.0/8,10.1.2.3"}
    client.call("ModifySecurityIps", {"InstanceId": instance_id, **own})
    described = client.call("DescribeSecurityIps", {"InstanceId": instance_id})
    groups = described["SecurityIpGroups"]["SecurityIpGroup"]
    shown = [(group["SecurityIpGroupName"], group["SecurityIpList"]) for group in groups]
    equal(shown, [("default", "127.0.0.1"), ("own", own["SecurityIps"])], "groups")


def backup_story(client, instance_id, host, port):
    """Expects what `use_redis` left."""
    policy = {"PreferredBackupTime": "03:00Z-04:00Z", "PreferredBackupPeriod": "Monday,Friday"}
    client.call("ModifyBackupPolicy", {"InstanceId": instance_id, **policy})
    described = client.call("DescribeBackupPolicy", {"InstanceId": instance_id})
    for field, value in policy.items():
        equal(described[field], value, field)

    job = client.call("CreateBackup", {"InstanceId": instance_id})["BackupJobID"]
    backup = wait_for_backup(client, instance_id, job)
    equal(backup["BackupStatus"], "Success", "BackupStatus")
    equal(backup["BackupMode"], "Manual", "BackupMode")
    with urllib.request.urlopen(backup["BackupDownloadURL"], timeout=30) as answer:
        file = answer.read()
    equal(file[:5], b"REDIS", "the beginning of the file")
    equal(backup["BackupSize"], len(file), "BackupSize")
    tasks = client.call("DescribeBackupTasks", {"InstanceId": instance_id})
    equal(tasks["InstanceId"], instance_id, "the InstanceId of tasks")

    backup_id = str(backup["BackupId"])
    clone(client, instance_id, backup_id)

    with redis.Redis(host=host, port=port, password=PASSWORD, protocol=2, socket_timeout=5) as login:
        login.set("greeting", "overwritten")
    client.call("RestoreInstance", {"InstanceId": instance_id, "BackupId": backup_id})
    wait_until_normal(client, instance_id, "BackupRecovering")
    check_greeting(host, port)

    client.call("DeleteBackup", {"InstanceId": instance_id, "BackupId": backup_id})
    equal(list_backups(client, instance_id), [], "backups after the deletion")


def clone(client, instance_id, backup_id):
    created = create(client, {
        "RegionId": REGION,
        "InstanceClass": "redis.basic.small.default",
        "Password": PASSWORD,
        "SrcDBInstanceId": instance_id,
        "BackupId": backup_id,
    })
    try:
        attribute = wait_until_normal(client, created["InstanceId"])
        check_greeting(attribute["PrivateIp"], created["Port"])
    finally:
        client.call("DeleteInstance", {"InstanceId": created["InstanceId"]})


def list_backups(client, instance_id):
    answer = client.call("DescribeBackups", {
        "InstanceId": instance_id,
        "StartTime": "2010-01-01T00:00Z",
        "EndTime": "2050-01-01T00:00Z",
    })
    return answer["Backups"]["Backup"]


def wait_for_backup(client, instance_id, job):
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        for backup in list_backups(client, instance_id):
            if str(backup["BackupJobID"]) == job:
                return backup
        check(time.monotonic() < end, f"{job} ends within {DEADLINE_SECONDS} s")
        time.sleep(0.05)


def create(client, wish):
    created = client.call("CreateInstance", wish)
    equal(created["InstanceStatus"], "Creating", "InstanceStatus")
    equal(created["RegionId"], REGION, "RegionId")
    equal(created["UserName"], created["InstanceId"], "UserName")
    for field in ("Bandwidth", "Capacity", "Connections", "QPS", "Port"):
        check(type(created[field]) is int and created[field] > 0,
              f"{field} is a positive integer: {created[field]!r}")
    check(created["RequestId"], "RequestId is there")
    return created


def wait_until_normal(client, instance_id, before="Creating"):
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        answer = client.call("DescribeInstanceAttribute", {"InstanceId": instance_id})
        (attribute,) = answer["Instances"]["DBInstanceAttribute"]
        if attribute["InstanceStatus"] == "Normal":
            return attribute
        equal(attribute["InstanceStatus"], before, "status on the way to Normal")
        check(time.monotonic() < end, f"{instance_id} is Normal within {DEADLINE_SECONDS} s")
        time.sleep(0.05)


def wait_until_gone(client, instance_id):
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            client.call("DescribeInstanceAttribute", {"InstanceId": instance_id})
        except ApiError as answer:
            equal((answer.status, answer.code), (404, "InvalidInstanceId.NotFound"), "the answer")
            return
        check(time.monotonic() < end, f"{instance_id} is gone within {DEADLINE_SECONDS} s")
        time.sleep(0.05)


def check_listed(client, instance_id):
    answer = client.call("DescribeInstances", {"RegionId": REGION, "InstanceIds": instance_id})
    (found,) = answer["Instances"]["KVStoreInstance"]
    equal(found["InstanceId"], instance_id, "the listed instance")
    equal(answer["TotalCount"], 1, "TotalCount")


def use_redis(host, port):
    with redis.Redis(host=host, port=port, password=PASSWORD, protocol=2, socket_timeout=5) as login:
        check(login.set("greeting", "您好"), "SET")
        equal(login.get("greeting").decode(), "您好", "GET")
    with redis.Redis(host=host, port=port, password="Wrong1Password", protocol=2,
                     socket_timeout=5) as stranger:
        try:
            stranger.ping()
        except redis.exceptions.RedisError:
            return
    raise AssertionError("a wrong password was accepted")


def check_greeting(host, port):
    with redis.Redis(host=host, port=port, password=PASSWORD, protocol=2, socket_timeout=5) as login:
        equal(login.get("greeting").decode(), "您好", "GET")


def use_memcached(host, port, user):
    login = bmemcached.Client((f"{host}:{port}",), user, PASSWORD, socket_timeout=5)
    check(login.set("greeting", "您好"), "set")
    equal(login.get("greeting"), "您好", "get")
    login.disconnect_all()
    stranger = bmemcached.Client((f"{host}:{port}",), user, "Wrong1Password", socket_timeout=5)
    try:
        stranger.get("greeting")
    except bmemcached.exceptions.MemcachedException as refusal:
        equal(refusal.code, 32, "the refusal of a wrong password")
        return
    raise AssertionError("a wrong password was accepted")


def expect_error(code, status, client, action, params):
    try:
        answer = client.call(action, params)
    except ApiError as problem:
        equal(problem.code, code, f"the error code of {action}")
        equal(problem.status, status, f"the HTTP status of {action}")
        return
    raise AssertionError(f"{action} should have failed with {code}, but answered {answer}")


def equal(got, wanted, what):
    check(got == wanted, f"{what}: wanted {wanted!r}, got {got!r}")


def check(holds, what):
    if not holds:
        raise AssertionError(what)
