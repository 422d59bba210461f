//go:build !linux

package rtnl
