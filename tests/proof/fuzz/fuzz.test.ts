import { testTrial } from "../trial.ts";
import { fingerprintsTrial, formsTrial, memoryTrial } from "./trials.ts";

testTrial(formsTrial, 1.5);
testTrial(fingerprintsTrial, 1);
testTrial(memoryTrial, 1.5);
