-- A person: all pairs of visitor_key and e-mail that lead to one another from $keys and $emails: a
-- key, its e-mails, the keys of these, and so on. All stored rows are put in. What has no "@" is
-- no e-mail: others may have it too.
WITH RECURSIVE links AS (
    SELECT DISTINCT visitor_key, if(contains(email, '@'), lower(trim(email)), NULL) AS email
    FROM (({sessions}) UNION ALL BY NAME ({visitors}))
    WHERE contains(email, '@') OR list_contains($keys, visitor_key)
), person AS (
    SELECT * FROM links WHERE list_contains($keys, visitor_key) OR list_contains($emails, email)
    UNION
    SELECT links.*
    FROM links
    JOIN person ON links.visitor_key = person.visitor_key OR links.email = person.email
)
FROM person
