/** The version of the package, and of the addon that fits it. */
export const VERSION = '0.1.0';
