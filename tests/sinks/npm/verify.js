// One request a line, as JSON {secret, headers, body}: prints whether it is genuine, and what it says.
const { Webhook } = require("standardwebhooks");
const lines = require("node:readline").createInterface({ input: process.stdin });

lines.on("line", (line) => {
  const { secret, headers, body } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ genuine: true, said: new Webhook(secret).verify(body, headers) }));
  } catch (error) {
    console.log(JSON.stringify({ genuine: false, said: error.name + ": " + error.message }));
  }
});
