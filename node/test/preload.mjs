// The reader of an example: Ctrl-C comes as soon as the program has said that there is a mapping, or what to do about none.

const { log } = console;
console.log = (...words) => {
  log(...words);
  const [said] = words.map(String);
  if (said.startsWith('external address: ')) setImmediate(() => process.kill(process.pid, 'SIGINT'));
  if (said.startsWith('what to do: ')) setImmediate(() => process.exit(0));
};
