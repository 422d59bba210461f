// Package fieldtest runs real software with the devstack binary, as a user
// does: the examples of the repository, the commands of the README, and
// PostgreSQL, Redis and nginx from Debian's packages. It holds tests only.
//
// The tests run in pid, mount and network namespaces of their own. Each has
// its own data and run roots, and ends with a look for what is left.
package fieldtest
