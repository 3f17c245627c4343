// @alicloud/r-kvstore20150101: ACS3-HMAC-SHA256.
'use strict';

const { $OpenApiUtil, AlibabaCloudError } = require('@alicloud/openapi-core');
const kvstore = require('@alicloud/r-kvstore20150101');
const story = require('./story');

function client(accessKeySecret) {
  const sdk = new kvstore.default(new $OpenApiUtil.Config({
    accessKeyId: story.keyId,
    accessKeySecret,
    endpoint: story.endpoint,
    regionId: story.region,
    protocol: 'http',
    connectTimeout: 5000,
    readTimeout: 30_000,
  }));
  return {
    name: '@alicloud/r-kvstore20150101',
    async call(action, params) {
      const method = action[0].toLowerCase() + action.slice(1);
      try {
        return (await sdk[method](typed(kvstore[`${action}Request`], params))).body.toMap();
      } catch (problem) {
        if (!(problem instanceof AlibabaCloudError)) throw problem;
        throw new story.ApiError(problem.statusCode, problem.code, problem.message);
      }
    },
  };
}

// The SDK's request objects have their own spelling of every name on the wire.
function typed(Request, params) {
  const fields = {};
  for (const [field, name] of Object.entries(Request.names())) {
    if (name in params) fields[field] = params[name];
  }
  return new Request(fields);
}

story.tell(client(story.keySecret), client('wrong'));
