package io.gantry.checkpoint.resource;

/** @param pid as the host counts; @param nsPid as the container's pid namespace counts */
public record ProcessRef(int pid, int nsPid) {}
