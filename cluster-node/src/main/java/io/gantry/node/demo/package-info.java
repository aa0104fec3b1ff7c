/**
 * {@code gantry demo}: two nodes on this machine and a program that checks itself, moved between them; and the means to start and
 * remove such a pair, which {@code gantry bench} uses as well.
 */
package io.gantry.node.demo;
