-- Apps are versioned as other objects are: a version may say how it came about, and taking an app away is one, without text.
ALTER TABLE app_versions ADD COLUMN note TEXT NOT NULL DEFAULT '';

INSERT INTO app_versions (name, version, source, sha256, actor, at, revision)
SELECT a.name, a.version + 1, '', '', u.actor, u.at, u.revision
FROM apps a JOIN audit u ON u.subject = a.name AND u.verb = 'app.remove' AND u.at = a.removed_at;

UPDATE apps SET version = version + 1
WHERE EXISTS (SELECT 1 FROM app_versions v WHERE v.name = apps.name AND v.version = apps.version + 1);
