export const sql = `
  CREATE FUNCTION refuse_while_copying() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF EXISTS (SELECT 1 FROM meta WHERE name = 'copy') THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN NEW;
  END
  $$;

  -- Until all jobs of a file are here, no process runs them.
  CREATE TRIGGER nodes_wait_for_copy BEFORE INSERT ON nodes FOR EACH ROW
  EXECUTE FUNCTION refuse_while_copying('the jobs of a file are being copied into this schema');
  `
