-- Tables on the way to plays and features take memory for as long as they are there.
DROP TABLE IF EXISTS keyed;
DROP TABLE IF EXISTS played;
DROP TABLE IF EXISTS viewer_keys;
DROP TABLE IF EXISTS behaviour;
DROP TABLE IF EXISTS watched;
