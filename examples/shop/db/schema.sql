CREATE TABLE products (
    id    serial PRIMARY KEY,
    name  text NOT NULL UNIQUE,
    stock integer NOT NULL CHECK (stock >= 0)
);

INSERT INTO products (name, stock) VALUES ('teapot', 12), ('kettle', 7), ('cup', 48);
