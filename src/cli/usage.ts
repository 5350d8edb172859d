/** What `jobmachine --help` prints. */
export const usage = `Usage: jobmachine [command]

  serve          run the server (the default); environment variables or a .env file configure it, see README.md
                   --handlers FILE     run jobs by the handlers that a module exports; may be given several times
                   --accept-loss CODE  start without the jobs that the last start reported as missing; its error names the code
  init [folder]  write a first handler, .env, a systemd unit and a Dockerfile, unless one of them is there
  verify [file]  check a database, even while a server uses it; DATABASE_PATH or DATABASE_URL by default
  backup [file] TARGET
                 copy a database, as it is at one instant, to a new file, even while a server uses it; DATABASE_PATH by default
  compact [file] rewrite a database that no server has open, without the data of removed jobs; DATABASE_PATH by default
  migrate        bring the PostgreSQL database of DATABASE_URL to this version's schema
  migrate [file] --to URL
                 move the jobs of a file to PostgreSQL while a server serves it; DATABASE_PATH by default
                   --schema NAME       the schema that gets them, DATABASE_SCHEMA or jobmachine by default; it must be empty
                   --stop              stop the server as soon as nearly everything is copied
  --help         print this
  --version      print the version
`
