// Package rtnl sends rtnetlink requests in batches: many messages in one
// sendmsg, all answers in as few recvmsg. A container's interface, address and
// routes cost two system calls this way instead of one pair each, and the
// kernel answers before sendmsg returns, so nothing waits.
//
// Messages are composed with vishvananda/netlink's nl package. Whatever is rare
// (listing routes to find a free subnet) uses vishvananda/netlink itself.
package rtnl
