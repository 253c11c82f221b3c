-- Set what could not be sent when the session started; parameter 1 is a JSON object of settings.
SELECT count(set_config(key, value, false))
FROM json_each_text($1::text::json);
