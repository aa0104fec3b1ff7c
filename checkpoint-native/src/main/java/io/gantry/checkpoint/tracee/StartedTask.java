package io.gantry.checkpoint.tracee;

/** A task whose batch can be started, and waited for later. Tracer thread only; {@link Together} is who does it. */
interface StartedTask extends RemoteTask {
  /** The first half of {@link #run}, for a batch without {@link CallBatch#meanwhile}: the task is on its way. When that fails, it stands still. */
  void start(CallBatch batch);

  /**
   * The second half: waits for the end of the batch that was started. The task stands still afterwards, whatever came of it.
   *
   * @throws io.gantry.checkpoint.CheckpointException as {@link #run}
   */
  void complete(CallBatch batch);
}
