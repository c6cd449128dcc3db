// SPDX-License-Identifier: Apache-2.0
// node duckdb.mjs FOLDER QUERY...: run the queries with the DuckDB that npm put into FOLDER, print rows.
import { createRequire } from 'node:module';

const { DuckDBInstance } = createRequire(`${process.argv[2]}/package.json`)('@duckdb/node-api');
const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
const connection = await instance.connect();
for (const query of process.argv.slice(3)) {
    const reader = await connection.runAndReadAll(query);
    for (const row of reader.getRows())
        console.log(row.map(cell => (cell === null ? 'NULL' : String(cell))).join('\t'));
}
