/**
 * Programs that are moved by demo, bench and tests. They run in containers, in a JVM of their own, and use nothing but the JDK, so that
 * the class path is all they need.
 */
package io.gantry.node.workload;
