-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Roles for a shared history: who owns the tables, who adds results, who reads them. Run once, as
-- a superuser, in the database of the history:
--
--   createdb bench && psql -d bench -f docs/history-roles.sql
--
-- Then give people and machines one of these: GRANT bench_writer TO ci; GRANT bench_reader TO grafana;
-- Who makes the tables must make them as bench_owner, whose they are to be:
-- GRANT bench_owner TO admin; ALTER ROLE admin SET role = bench_owner;

-- Makes the tables with its first `history add`, and brings them up to date with `history migrate`.
CREATE ROLE bench_owner NOLOGIN;
-- Adds results. Cannot change or remove any.
CREATE ROLE bench_writer NOLOGIN;
-- Lists, follows and compares: people, Grafana.
CREATE ROLE bench_reader NOLOGIN;
GRANT bench_reader TO bench_writer;

CREATE SCHEMA libblkio_bench AUTHORIZATION bench_owner;
GRANT USAGE ON SCHEMA libblkio_bench TO bench_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE bench_owner IN SCHEMA libblkio_bench
	GRANT SELECT ON TABLES TO bench_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE bench_owner IN SCHEMA libblkio_bench
	GRANT INSERT ON TABLES TO bench_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE bench_owner IN SCHEMA libblkio_bench
	GRANT USAGE ON SEQUENCES TO bench_writer;
