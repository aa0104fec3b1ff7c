/**
 * {@code gantry bench}: the project's figures, measured with the product's own nodes and transport, each as a process of its own. What
 * must never come in: anything that makes a figure better and is not in the product.
 */
package io.gantry.node.bench;
