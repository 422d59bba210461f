// Package scaffold proposes a compose.yaml for a repository: it looks at the
// files that name languages, frameworks and databases, and writes what a person
// would write to begin with. It reads through an fs.FS and writes nothing.
package scaffold
