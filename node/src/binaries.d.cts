/** The addon out of this machine's package, if one is installed. Calls `failed` with each package that it has tried in vain. */
export declare function load(failed: (name: string, error: unknown) => void): unknown;
