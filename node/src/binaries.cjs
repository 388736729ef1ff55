'use strict';
// The packages of the addon, one for each platform. CommonJS for both builds, and the names are literals, because this is
// what bundlers find. Each `require` has a `try` of its own: so a bundler takes a package that is not installed for optional.

exports.load = (failed) => {
  if (process.platform === 'linux' && process.arch === 'x64') {
    try {
      return require('@portlease/linux-x64-gnu');
    } catch (error) {
      failed('@portlease/linux-x64-gnu', error);
    }
    try {
      return require('@portlease/linux-x64-musl');
    } catch (error) {
      failed('@portlease/linux-x64-musl', error);
    }
  }
  if (process.platform === 'linux' && process.arch === 'arm64') {
    try {
      return require('@portlease/linux-arm64-gnu');
    } catch (error) {
      failed('@portlease/linux-arm64-gnu', error);
    }
    try {
      return require('@portlease/linux-arm64-musl');
    } catch (error) {
      failed('@portlease/linux-arm64-musl', error);
    }
  }
  if (process.platform === 'darwin' && process.arch === 'x64') {
    try {
      return require('@portlease/darwin-x64');
    } catch (error) {
      failed('@portlease/darwin-x64', error);
    }
  }
  if (process.platform === 'darwin' && process.arch === 'arm64') {
    try {
      return require('@portlease/darwin-arm64');
    } catch (error) {
      failed('@portlease/darwin-arm64', error);
    }
  }
  if (process.platform === 'win32' && process.arch === 'x64') {
    try {
      return require('@portlease/win32-x64');
    } catch (error) {
      failed('@portlease/win32-x64', error);
    }
  }
  return undefined;
};
