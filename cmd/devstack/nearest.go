package main

import "devstack/compose/load"

// nearest is the candidate that a typing error away from word, or "".
func nearest(word string, candidates []string) string {
	best, least := "", min(3, len(word)/2+1)
	for _, c := range candidates {
		if d := load.Distance(word, c, least); d < least {
			best, least = c, d
		}
	}
	return best
}
