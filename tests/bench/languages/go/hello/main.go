// A program to weigh, with (tag with_portlease) and without portlease.
package main

import "fmt"

func main() {
	external, err := reach()
	fmt.Println(external, err)
}
