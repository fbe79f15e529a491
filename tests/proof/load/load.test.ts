import { testTrial } from "../trial.ts";
import { loadTrials } from "./trials.ts";

for (const trial of loadTrials) testTrial(trial, 5);
