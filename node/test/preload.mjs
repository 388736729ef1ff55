// For examples that are written for the home: the router there is the simulated one of a test, and the reader's Ctrl-C
// comes as soon as the program has said that there is a mapping.
import { Mapper } from 'portlease';

const { start } = Mapper;
Mapper.start = (options = {}) => {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return start({ ...JSON.parse(process.env.GATEWAY), ...Object.fromEntries(given) });
};

const { log } = console;
console.log = (...words) => {
  log(...words);
  if (String(words[0]).startsWith('reachable at ')) setImmediate(() => process.kill(process.pid, 'SIGINT'));
};
