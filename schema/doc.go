// Package schema describes the project file: every key of the Compose
// Specification at every level, what may stand there, how its short form
// expands and how two files that both set it merge.
//
// The description is plain data. compose/load reads files by it, so that what
// an editor is told (JSON renders the description as a JSON Schema) and what the
// loader accepts cannot drift apart. The package reads no files and knows
// nothing of the loader.
package schema
