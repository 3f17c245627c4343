// What every Node SDK must be able to do: one story, told through any of them.
//
// A client is an object with `name` and `call(action, params)`, which answers a plain
// object or throws `ApiError` when the API answered with an error. The environment says
// where the API is and who calls it.
'use strict';

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { createClient } = require('@redis/client');

const region = required('REGION');
const endpoint = required('OURKV_ENDPOINT');
const keyId = required('ALIBABA_CLOUD_ACCESS_KEY_ID');
const keySecret = required('ALIBABA_CLOUD_ACCESS_KEY_SECRET');

// Every special character that the CreateInstance page allows, all of which are
// escaped differently by one SDK or another.
const password = 'Aa1!@#$%^&*()_+-=';
const instanceName = 'sdk-测试';
const deadlineMs = 60_000;

class ApiError extends Error {
  constructor(status, code, message) {
    super(`${status} ${code}: ${message}`);
    this.status = status;
    this.code = code;
  }
}

// Runs the whole story; leaves no instance behind.
async function tell(client, withWrongSecret) {
  try {
    await story(client);
    await expectError('SignatureDoesNotMatch', 400, withWrongSecret, 'DescribeRegions', {});
    console.log(`ok ${client.name}`);
  } catch (problem) {
    console.error(`FAILED ${client.name}:`, problem);
    process.exitCode = 1;
  }
}

async function story(client) {
  const regions = (await client.call('DescribeRegions', {})).RegionIds.KVStoreRegion;
  assert.ok(regions.some((each) => each.RegionId === region), `${region} is listed`);

  await expectError('InvalidCapacity.NotFound', 400, client, 'CreateInstance', {
    RegionId: region,
    Capacity: 123,
  });

  const wish = {
    RegionId: region,
    InstanceClass: 'redis.master.small.default',
    InstanceName: instanceName,
    Password: password,
    ChargeType: 'PostPaid',
    Token: randomBytes(16).toString('hex'),
  };
  const created = await client.call('CreateInstance', wish);
  const id = created.InstanceId;
  try {
    checkCreated(created);
    assert.equal((await client.call('CreateInstance', wish)).InstanceId, id, 'the same Token');
    await expectError('IdempotentParameterMismatch', 400, client, 'CreateInstance', {
      ...wish,
      InstanceName: 'another',
    });

    const attribute = await waitUntilNormal(client, id);
    assert.equal(attribute.InstanceName, instanceName);
    assert.equal(attribute.PrivateIp, created.PrivateIpAddr);
    assert.equal(attribute.ConnectionDomain, created.ConnectionDomain);
    await checkListed(client, id);
    await useRedis(attribute.PrivateIp, created.Port);
    await whitelistStory(client, id);
    await backupStory(client, id, attribute.PrivateIp, created.Port);
  } finally {
    await client.call('DeleteInstance', { InstanceId: id });
  }
  await waitUntilGone(client, id);
}

async function whitelistStory(client, id) {
  const own = { SecurityIpGroupName: 'own', SecurityIps: '10.0.0.0/8,10.1.2.3' };
  await client.call('ModifySecurityIps', { InstanceId: id, ...own });
  const described = await client.call('DescribeSecurityIps', { InstanceId: id });
  const groups = described.SecurityIpGroups.SecurityIpGroup;
  const shown = groups.map((group) => [group.SecurityIpGroupName, group.SecurityIpList]);
  assert.deepEqual(shown, [['default', '127.0.0.1'], ['own', own.SecurityIps]]);
}

// Expects what `useRedis` left.
async function backupStory(client, id, host, port) {
  const policy = { PreferredBackupTime: '03:00Z-04:00Z', PreferredBackupPeriod: 'Monday,Friday' };
  await client.call('ModifyBackupPolicy', { InstanceId: id, ...policy });
  const described = await client.call('DescribeBackupPolicy', { InstanceId: id });
  for (const field of Object.keys(policy)) assert.equal(described[field], policy[field], field);

  const job = (await client.call('CreateBackup', { InstanceId: id })).BackupJobID;
  const backup = await waitForBackup(client, id, job);
  assert.equal(backup.BackupStatus, 'Success');
  assert.equal(backup.BackupMode, 'Manual');
  const answer = await fetch(backup.BackupDownloadURL, { signal: AbortSignal.timeout(deadlineMs) });
  const file = Buffer.from(await answer.arrayBuffer());
  assert.equal(file.subarray(0, 5).toString(), 'REDIS');
  assert.equal(backup.BackupSize, file.length);
  const tasks = await client.call('DescribeBackupTasks', { InstanceId: id });
  assert.equal(tasks.InstanceId, id);

  const backupId = String(backup.BackupId);
  await clone(client, id, backupId);

  await withRedis(host, port, (login) => login.set('greeting', 'overwritten'));
  await client.call('RestoreInstance', { InstanceId: id, BackupId: backupId });
  await waitUntilNormal(client, id, 'BackupRecovering');
  await checkGreeting(host, port);

  await client.call('DeleteBackup', { InstanceId: id, BackupId: backupId });
  assert.deepEqual(await listBackups(client, id), []);
}

async function clone(client, id, backupId) {
  const created = await client.call('CreateInstance', {
    RegionId: region,
    InstanceClass: 'redis.basic.small.default',
    Password: password,
    SrcDBInstanceId: id,
    BackupId: backupId,
  });
  try {
    const attribute = await waitUntilNormal(client, created.InstanceId);
    await checkGreeting(attribute.PrivateIp, created.Port);
  } finally {
    await client.call('DeleteInstance', { InstanceId: created.InstanceId });
  }
}

async function listBackups(client, id) {
  const answer = await client.call('DescribeBackups', {
    InstanceId: id,
    StartTime: '2010-01-01T00:00Z',
    EndTime: '2050-01-01T00:00Z',
  });
  return answer.Backups.Backup;
}

async function waitForBackup(client, id, job) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const found = (await listBackups(client, id)).find((each) => String(each.BackupJobID) === job);
    if (found) return found;
    assert.ok(Date.now() < end, `${job} ends within ${deadlineMs} ms`);
    await sleep(50);
  }
}

function checkCreated(created) {
  assert.equal(created.InstanceStatus, 'Creating');
  assert.equal(created.RegionId, region);
  assert.equal(created.UserName, created.InstanceId);
  assert.equal(created.Port, 6379);
  for (const field of ['Bandwidth', 'Capacity', 'Connections', 'QPS']) {
    assert.ok(Number.isInteger(created[field]) && created[field] > 0, `${field}: ${created[field]}`);
  }
  assert.ok(created.RequestId, 'RequestId is there');
}

async function waitUntilNormal(client, id, before = 'Creating') {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const answer = await client.call('DescribeInstanceAttribute', { InstanceId: id });
    const [attribute, ...rest] = answer.Instances.DBInstanceAttribute;
    assert.deepEqual(rest, []);
    if (attribute.InstanceStatus === 'Normal') return attribute;
    assert.equal(attribute.InstanceStatus, before, 'status on the way to Normal');
    assert.ok(Date.now() < end, `${id} is Normal within ${deadlineMs} ms`);
    await sleep(50);
  }
}

async function waitUntilGone(client, id) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    try {
      await client.call('DescribeInstanceAttribute', { InstanceId: id });
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem;
      assert.equal(problem.status, 404);
      assert.equal(problem.code, 'InvalidInstanceId.NotFound');
      return;
    }
    assert.ok(Date.now() < end, `${id} is gone within ${deadlineMs} ms`);
    await sleep(50);
  }
}

async function checkListed(client, id) {
  const answer = await client.call('DescribeInstances', { RegionId: region, InstanceIds: id });
  assert.deepEqual(answer.Instances.KVStoreInstance.map((each) => each.InstanceId), [id]);
  assert.equal(answer.TotalCount, 1);
}

async function useRedis(host, port) {
  await withRedis(host, port, async (login) => {
    assert.equal(await login.set('greeting', '您好'), 'OK');
    assert.equal(await login.get('greeting'), '您好');
  });
  const stranger = redisClient(host, port, 'Wrong1Password');
  await assert.rejects(stranger.connect(), /WRONGPASS|invalid password/);
}

async function checkGreeting(host, port) {
  assert.equal(await withRedis(host, port, (login) => login.get('greeting')), '您好');
}

async function withRedis(host, port, use) {
  const login = redisClient(host, port, password);
  await login.connect();
  try {
    return await use(login);
  } finally {
    login.destroy();
  }
}

function redisClient(host, port, secret) {
  const socket = { host, port, connectTimeout: 5000, reconnectStrategy: false };
  return createClient({ socket, password: secret }).on('error', () => {});
}

async function expectError(code, status, client, action, params) {
  let answer;
  try {
    answer = await client.call(action, params);
  } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    assert.equal(problem.code, code, `the error code of ${action}`);
    assert.equal(problem.status, status, `the HTTP status of ${action}`);
    return;
  }
  assert.fail(`${action} should have failed with ${code}: ${JSON.stringify(answer)}`);
}

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

module.exports = { ApiError, endpoint, keyId, keySecret, region, tell };
