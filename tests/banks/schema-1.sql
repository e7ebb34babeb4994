BEGIN TRANSACTION;
CREATE TABLE answers (
	request_id VARCHAR(64) NOT NULL, 
	writer VARCHAR(256) NOT NULL, 
	contrast_id VARCHAR(64) NOT NULL, 
	prompt_hash TEXT NOT NULL, 
	tier TEXT NOT NULL, 
	text TEXT NOT NULL, 
	turns BIGINT, 
	input_tokens BIGINT, 
	output_tokens BIGINT, 
	seconds DOUBLE, 
	cost_usd DOUBLE, 
	PRIMARY KEY (request_id, writer), 
	FOREIGN KEY(contrast_id) REFERENCES contrasts (id)
);
INSERT INTO "answers" VALUES('request-contrast-619d59cbc998a252e7f2','gpt-5','contrast-619d59cbc998a252e7f2','prompt-1','json','an answer about contrast-619d59cbc998a252e7f2',NULL,NULL,10,NULL,0.5);
CREATE TABLE caches (
	name VARCHAR(64) NOT NULL, 
	"key" VARCHAR(256) NOT NULL, 
	content BLOB NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE changes (
	sequence INTEGER NOT NULL, 
	constraint_id VARCHAR(64) NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	reason TEXT, 
	"before" TEXT, 
	"after" TEXT NOT NULL, 
	at TEXT NOT NULL, 
	PRIMARY KEY (sequence), 
	FOREIGN KEY(constraint_id) REFERENCES constraints (id)
);
INSERT INTO "changes" VALUES(1,'c-553f05859603dcd85020','learn','learned',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-553f05859603dcd85020","scope":"reasoning","status":"active","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"seats are in a ring"}','2026-11-25T16:17:42.260091+00:00');
CREATE TABLE conflicts (
	first VARCHAR(64) NOT NULL, 
	second VARCHAR(64) NOT NULL, 
	PRIMARY KEY (first, second), 
	FOREIGN KEY(first) REFERENCES constraints (id), 
	FOREIGN KEY(second) REFERENCES constraints (id)
);
CREATE TABLE constraints (
	id VARCHAR(64) NOT NULL, 
	"when" TEXT NOT NULL, 
	enforce TEXT NOT NULL, 
	avoid TEXT NOT NULL, 
	category TEXT NOT NULL, 
	subcategory TEXT, 
	scope TEXT NOT NULL, 
	harness TEXT, 
	status TEXT NOT NULL, 
	support_tasks INTEGER NOT NULL, 
	support_contrasts INTEGER NOT NULL, 
	families_right TEXT NOT NULL, 
	families_wrong TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "constraints" VALUES('c-553f05859603dcd85020','seats are in a ring','this','that','mathematics','counting','reasoning',NULL,'active',1,1,'["gpt"]','["qwen"]');
CREATE TABLE contrasts (
	id VARCHAR(64) NOT NULL, 
	task_id VARCHAR(64) NOT NULL, 
	kind TEXT NOT NULL, 
	preferred VARCHAR(64) NOT NULL, 
	other VARCHAR(64) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(task_id) REFERENCES tasks (id), 
	FOREIGN KEY(preferred) REFERENCES trajectories (id), 
	FOREIGN KEY(other) REFERENCES trajectories (id)
);
INSERT INTO "contrasts" VALUES('contrast-619d59cbc998a252e7f2','task-8ae213667925fe36ea89','discordant','run-f7abad7d2384dcb69503','run-0489098d4f3c34108301');
CREATE TABLE drafts (
	id VARCHAR(64) NOT NULL, 
	contrast_id VARCHAR(64) NOT NULL, 
	"when" TEXT NOT NULL, 
	enforce TEXT NOT NULL, 
	avoid TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	writer TEXT NOT NULL, 
	prompt_hash TEXT NOT NULL, 
	recipe TEXT NOT NULL, 
	category TEXT NOT NULL, 
	subcategory TEXT, 
	harness TEXT, 
	refused TEXT, 
	refused_detail TEXT, 
	constraint_id VARCHAR(64), 
	PRIMARY KEY (id), 
	FOREIGN KEY(contrast_id) REFERENCES contrasts (id), 
	FOREIGN KEY(constraint_id) REFERENCES constraints (id)
);
INSERT INTO "drafts" VALUES('draft-3e393dc4db02fea7779e','contrast-619d59cbc998a252e7f2','seats are in a ring','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-553f05859603dcd85020');
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('format','memcollab-bank');
INSERT INTO "meta" VALUES('schema','1');
INSERT INTO "meta" VALUES('records','1');
CREATE TABLE outcomes (
	recall_id VARCHAR(64) NOT NULL, 
	at TEXT NOT NULL, 
	solved BOOLEAN, 
	content TEXT NOT NULL, 
	PRIMARY KEY (recall_id), 
	FOREIGN KEY(recall_id) REFERENCES recalls (id)
);
CREATE TABLE recalls (
	id VARCHAR(64) NOT NULL, 
	at TEXT NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE steps (
	trajectory_id VARCHAR(64) NOT NULL, 
	content BLOB NOT NULL, 
	PRIMARY KEY (trajectory_id), 
	FOREIGN KEY(trajectory_id) REFERENCES trajectories (id)
);
INSERT INTO "steps" VALUES('run-0489098d4f3c34108301',X'789C7590410A83400C45AF12B2D6C2144AC14DD73D8316893AA874CCB426222273F78E2B2DB4CB9097F73FC957AC3DAB65C50CEF0C9D9F61205E60A645A0260603ED644505A457A0D14FDC008152E5EC0D131CBDB3F174123B62488EB6F76CF97CBAA4D70AB4EBF9293B4D22BD28452C41F5DE9535392798E52BD2D84E4314C409D722EA1A5B6006059A0243C4FB262E363C3571621A36DF6BD1CE3386C77703B3276E29C7B0F2E8F9DB5BB627985FBDC3E303473A6725');
INSERT INTO "steps" VALUES('run-f7abad7d2384dcb69503',X'789C6D8FCF0A83300CC65F25E4AC87C24E5E76DE33A88C4C8B96D5549A1411F1DD574F3AF0F891DFF727F5865D60B5AC58E18B610C0B4CC42B2CB40A74C46060485654409C02C590B80702A58FB74F2C30066FB335898DB817D7B461D6F2013A3AFECA09928813A54C14A821F87747DE0B56F586148734656F56B83539A9B70D56D0A06970CFB8EBF3E1C04B9315D374E4CDAB8E81716FFFCBCDD978B45CCBDED79CBBC972BC6EEE26EFED0F7E836451');
CREATE TABLE tasks (
	id VARCHAR(64) NOT NULL, 
	text TEXT NOT NULL, 
	"key" TEXT, 
	category TEXT, 
	subcategory TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "tasks" VALUES('task-8ae213667925fe36ea89','In how many ways can 1 guests sit around a table?',NULL,'mathematics','counting');
CREATE TABLE trajectories (
	id VARCHAR(64) NOT NULL, 
	task_id VARCHAR(64) NOT NULL, 
	model TEXT NOT NULL, 
	family TEXT NOT NULL, 
	harness TEXT, 
	run TEXT, 
	solved BOOLEAN, 
	score DOUBLE, 
	judge TEXT, 
	reason TEXT, 
	turns BIGINT NOT NULL, 
	turns_given BOOLEAN NOT NULL, 
	input_tokens BIGINT, 
	output_tokens BIGINT, 
	seconds DOUBLE, 
	cost_usd DOUBLE, 
	shown TEXT NOT NULL, 
	origin TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(task_id) REFERENCES tasks (id)
);
INSERT INTO "trajectories" VALUES('run-0489098d4f3c34108301','task-8ae213667925fe36ea89','qwen2.5-7b','qwen','table','1',0,0.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:1');
INSERT INTO "trajectories" VALUES('run-f7abad7d2384dcb69503','task-8ae213667925fe36ea89','gpt-4','gpt','table','1',1,1.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:1');
CREATE TABLE vectors (
	embedder VARCHAR(256) NOT NULL, 
	text_hash VARCHAR(64) NOT NULL, 
	vector BLOB NOT NULL, 
	PRIMARY KEY (embedder, text_hash)
);
CREATE INDEX ix_trajectories_task_id ON trajectories (task_id);
CREATE INDEX ix_changes_constraint_id ON changes (constraint_id);
CREATE INDEX ix_contrasts_task_id ON contrasts (task_id);
CREATE INDEX ix_contrasts_preferred ON contrasts (preferred);
CREATE INDEX ix_contrasts_other ON contrasts (other);
CREATE INDEX ix_answers_contrast_id ON answers (contrast_id);
CREATE INDEX ix_drafts_constraint_id ON drafts (constraint_id);
CREATE INDEX ix_drafts_contrast_id ON drafts (contrast_id);
COMMIT;
