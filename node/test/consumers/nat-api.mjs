// portlease's NatAPI as webtorrent gets it, but for the place of the router, which is simulated.
import NatAPI from '../../dist/nat-api.mjs';

export default class extends NatAPI {
  constructor(options) {
    super({ ...options, ...JSON.parse(process.env.GATEWAY) });
  }
}
