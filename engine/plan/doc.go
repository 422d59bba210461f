// Package plan decides what to do: desired state x observed state -> Plan.
//
// It is pure: values in, values out; no clock, no kernel, no goroutine. A Plan
// is an ordered list of operations, each with its cause and the operations it
// has to come after, and prints as text: `up --dry-run` shows that text and
// the tests compare it. Package supervise carries plans out.
package plan
