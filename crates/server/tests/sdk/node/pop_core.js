// @alicloud/pop-core: signature version 1; the argument is the HTTP method, GET or POST.
'use strict';

const { RPCClient } = require('@alicloud/pop-core');
const story = require('./story');

const method = process.argv[2] ?? 'POST';

function client(accessKeySecret) {
  const rpc = new RPCClient({
    accessKeyId: story.keyId,
    accessKeySecret,
    endpoint: `http://${story.endpoint}`,
    apiVersion: '2015-01-01',
    opts: { method, timeout: 30_000 },
  });
  return {
    name: `@alicloud/pop-core (${method})`,
    async call(action, params) {
      try {
        return await rpc.request(action, params);
      } catch (problem) {
        if (!problem.data?.Code) throw problem;
        const status = problem.entry.response.statusCode;
        throw new story.ApiError(status, problem.code, problem.data.Message);
      }
    },
  };
}

story.tell(client(story.keySecret), client('wrong'));
