// Command child is nothing but the child: a static executable for tests that
// are built with cgo or the race detector, whose own binary needs a dynamic
// loader that no container has.
package main

import _ "devstack/engine/container/child"

func main() {}
