// The policy of ../extensions, in JavaScript: an extension of our own PBX first, else the public network.
// The names are those of wit/policy.wit in camel case; an option that is absent is undefined.

import { because } from "intertrunk:policy/notes@0.1.0";

const candidate = (trunk, group, callee) => ({
  trunk, group, callee,
  peer: undefined, caller: undefined, withholdCaller: false,
  setHeaders: [], removeHeaders: [],
  noProgressMs: undefined, ringMs: undefined, failover: undefined,
  media: "trunk-default", extra: [],
});

const connect = (...candidates) => ({
  tag: "connect",
  val: {
    candidates, whenExhausted: { tag: "relay-last" }, codeMaps: [],
    maxDurationS: undefined, tags: [], cookie: new Uint8Array(), extra: [],
  },
});

const reject = (code) => ({
  tag: "reject",
  val: { code, phrase: undefined, q850: undefined, retryAfterS: undefined },
});

// What was dialled: without parameters, and a telephone number without visual separators (RFC 3966).
const dialed = ({ scheme, user, params }) => {
  const number = user.split(";")[0];
  const isPhone = scheme === "tel" || params.some((it) => it.name === "user" && it.value === "phone");
  return isPhone ? number.replace(/[-.()]/g, "") : number;
};

export const policyApi = {
  describe: () => ({ name: "extensions-js", version: "0.1.0", headers: [], trunks: ["*"], tables: [] }),

  configure: (_text) => {},

  decide: ({ call }) => {
    const number = dialed(call.callee);
    if (!/^\+[0-9]{1,15}$/.test(number)) return reject(404);
    if (number.startsWith("+1425")) return connect(candidate("pbx-a", 0, number.slice(-4)));
    because("PSTN, least cost");
    return connect(candidate("gw-a", 0, number), candidate("gw-b", 1, number));
  },
};
