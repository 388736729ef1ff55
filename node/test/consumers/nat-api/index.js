export { default } from '../../../dist/nat-api.mjs';
