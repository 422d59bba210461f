package child

import _ "unsafe" // for go:linkname

// procPin keeps the scheduler from taking the processor away from this
// goroutine, and the collector from starting in it. A request to yield that the
// runtime's monitor made just before a fork would be carried out after it: the
// goroutine would wait for threads which only the parent has.
//
//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()
