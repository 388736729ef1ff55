/** The file of this module, or of the bundle that it is in. `here.mjs`, the same for ES modules, is in `scripts/build.mjs`. */
export const here: string = __filename;
