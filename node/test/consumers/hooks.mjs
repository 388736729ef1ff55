// Module hooks for the real webtorrent: nothing for WebRTC, whose native part is not installed and which no test needs.

const NO_WEBRTC =
  'data:text/javascript,export const RTCPeerConnection = undefined, RTCSessionDescription = undefined, RTCIceCandidate = undefined; export default {};';

export async function resolve(specifier, context, next) {
  return specifier === 'webrtc-polyfill' ? { url: NO_WEBRTC, shortCircuit: true } : next(specifier, context);
}
