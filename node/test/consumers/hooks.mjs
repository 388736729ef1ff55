// Module hooks for the real webtorrent: it imports portlease's NatAPI in place of its own, which is the one change that
// its users make, and nothing for WebRTC, whose native part is not installed and which no test needs.

const REPLACED = {
  '@silentbot1/nat-api': new URL('nat-api.mjs', import.meta.url).href,
  'webrtc-polyfill':
    'data:text/javascript,export const RTCPeerConnection = undefined, RTCSessionDescription = undefined, RTCIceCandidate = undefined; export default {};',
};

export async function resolve(specifier, context, next) {
  const url = REPLACED[specifier];
  return url ? { url, shortCircuit: true } : next(specifier, context);
}
