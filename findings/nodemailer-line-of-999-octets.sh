#!/usr/bin/env bash
# nodemailer 10.6.1: a subject of one word of 998 letters is folded after "Subject:", which makes a line of 999 octets: the space and the word.
# RFC 5322 (2.1.1) has 998 at most, and Debian's Exim refuses more. Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund nodemailer@10.6.1 >/dev/null
cat > try.mjs <<'JS'
import { createTransport } from 'nodemailer'

const transport = createTransport({ streamTransport: true, buffer: true, newline: 'windows' })
const { message } = await transport.sendMail({ from: 'a@example.com', to: 'b@example.com', subject: 's'.repeat(998), text: 'x' })
const longest = Math.max(...message.toString('latin1').split('\r\n').map(({ length }) => length))
console.log(`nodemailer 10.6.1: the longest line has ${longest} octets; 998 are allowed`)
process.exit(longest === 999 ? 0 : 1)
JS
node try.mjs
