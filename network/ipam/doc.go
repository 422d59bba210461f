// Package ipam chooses subnets for networks and addresses for containers. It
// is pure: what is taken comes in as values, nothing is read from the machine
// and nothing is stored. network keeps the Leases of each network and writes
// their State to disk.
//
// Addresses are sticky: a key ("project/service/number") gets the address it
// had, as long as nobody else is using it.
package ipam
