//go:build !linux

package main

func beInit() {}
